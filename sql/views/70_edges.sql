-- When what was published where: the columns that the windows below carry along, and no others.
create view publications as
select asset, campaign, iteration, data_version, materialized_at from materializations;

-- Over the back edge: SANS read what all earlier iterations of its campaign had published of their policies' rollouts when it was curated.
create view fed_back as
select curated.data_version as sans_version, rollouts.data_version as rollouts_version
from publications as curated
join publications as rollouts
    on rollouts.asset = 'policy_rollouts' and rollouts.campaign = curated.campaign
   and rollouts.iteration < curated.iteration and rollouts.materialized_at <= curated.materialized_at
where curated.asset = 'sans'
qualify row_number() over (
    partition by curated.data_version, curated.campaign, curated.iteration, curated.materialized_at, rollouts.iteration
    order by rollouts.materialized_at desc
) = 1;

-- What each publication read. Where episodes of a set had been retracted, it names a version that nobody published, of
-- the members left: `parent` is then the set, the newest that stood there.
create view reads as
select
    node.data_version as child, node.asset, node.campaign, node.iteration, node.materialized_at, node.role,
    coalesce(parent.data_version, node.parent_version) as parent
from (
    select data_version, asset, campaign, iteration, materialized_at, role, parents ->> role as parent_version
    from (
        select data_version, asset, campaign, iteration, materialized_at, parents, unnest(json_keys(parents)) as role
        from materializations
    )
) as node
left join publications as parent
    on parent.asset = node.role and parent.campaign = node.campaign and parent.iteration in ('', node.iteration)
   and parent.materialized_at <= node.materialized_at
   and (node.role, node.parent_version) not in (select (asset, data_version) from publications)
qualify row_number() over (
    partition by node.data_version, node.asset, node.campaign, node.iteration, node.materialized_at, node.role
    order by parent.materialized_at desc
) = 1;

-- The version of a set of no episodes (`worldvla.lake.digests.EMPTY_SET`): every campaign that has one publishes the same.
create macro empty_set() as '451a202ec5cf1c7be31fd5d8e164fb03';

-- What was made from what, as publications and models say: the version of a set, of SANS, of a model, of a measurement,
-- each version that it read, and the asset or role as which it read it. A set of no episodes was made from nothing and
-- nothing from it: by its version the campaigns that have one would be each other's.
create view version_edges as
select child, role, parent from reads
where not starts_with(role, 'incoming_') and child <> empty_set() and parent is distinct from empty_set()
union
select model_id, role, parent_id from model_parents
union
select sans_version, 'policy_rollouts', rollouts_version from fed_back;

-- Which models learned from episodes that a policy recorded.
create view models_taught as
select distinct episodes.policy_id, membership.model_id
from training_membership as membership
join episodes using (episode_id)
where episodes.policy_id is not null;
