-- SANS and the failures it was fed: of each earlier iteration the newest it can have read.
create view fed_back as
select sans_version, failures.data_version as failures_version
from (select distinct sans_version, origin_iteration from sans where origin = 'feedback')
join materializations as curated on curated.asset = 'sans' and curated.data_version = sans_version
join materializations as failures
    on failures.asset = 'failure_rollouts' and failures.campaign = curated.campaign
   and failures.iteration = origin_iteration and failures.materialized_at <= curated.materialized_at
qualify row_number() over (
    partition by sans_version, curated.campaign, curated.materialized_at, origin_iteration
    order by failures.materialized_at desc
) = 1;

-- What was made from what: the version of a set, of SANS, of a model, of a measurement, and each version that it read.
create view version_edges as
select data_version as child, unnest(json_extract_string(parents, '$.*')) as parent from materializations
union
select model_id, parent_id from model_parents
union
select model_id, set_version from training_membership
union
select sans_version, failures_version from fed_back;

-- Which models learned from episodes that a policy recorded.
create view models_taught as
select distinct episodes.policy_id, membership.model_id
from training_membership as membership
join episodes using (episode_id)
where episodes.policy_id is not null;
