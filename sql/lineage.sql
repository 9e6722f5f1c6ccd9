-- question: What is this policy made of, step by step back to demonstrations?
-- param policy: a policy: a prefix of its id, or CAMPAIGN/ITERATION
--
-- `depth` counts the steps back from the policy. A model leads to its parent models and to the set it was trained on;
-- SANS leads to the raw episodes and to the failures that were fed back; a set of episodes leads to the policy that
-- acted in it, and so through every earlier iteration. `episodes` counts what a model was trained on, or what a set
-- holds. `campaign` and `iteration` name the place that published the version first: campaigns share what is the same.
-- SANS and the failures it was fed: of each earlier iteration the newest it can have read.
with recursive fed_back(sans_version, failures_version) as (
    select sans_version, failures.data_version
    from (select distinct sans_version, origin_iteration from sans where origin = 'feedback')
    join materializations as curated on curated.asset = 'sans' and curated.data_version = sans_version
    join materializations as failures
        on failures.asset = 'failure_rollouts' and failures.campaign = curated.campaign
       and failures.iteration = origin_iteration and failures.materialized_at <= curated.materialized_at
    qualify row_number() over (
        partition by sans_version, curated.campaign, curated.materialized_at, origin_iteration
        order by failures.materialized_at desc
    ) = 1
),

edges(child, parent) as (
    select model_id, parent_id from model_parents
    union
    select model_id, set_version from training_membership
    union
    -- What curated and joined sets were made from, as their publication says.
    select data_version, unnest(json_extract_string(parents, ['sans', 'raw_episodes', 'demonstrations',
        'perturbed_demonstrations', 'exploration_rollouts']))
    from materializations
    where asset in ('keyframes', 'sans', 'raw_episodes')
    union
    select sans_version, failures_version from fed_back
    union
    select episode_sets.set_version, episodes.policy_id
    from episode_sets
    join episodes using (episode_id)
    -- A union of sets leads to its parts, and they to their policies.
    where episodes.policy_id is not null
      and episode_sets.set_version not in (
          select data_version from materializations where asset = 'raw_episodes'
          except
          select data_version from materializations where asset = 'exploration_rollouts'
      )
),

chain(version, depth) as (
    select $policy, 0
    union
    select edges.parent, chain.depth + 1
    from chain
    join edges on edges.child = chain.version
    -- Sets may coincide (nothing added to the demonstrations): an edge to itself leads nowhere.
    where edges.parent is not null and edges.parent <> edges.child and chain.depth < 10000
),

nearest as (select version, min(depth) as depth from chain group by version),

first_published as (
    select data_version as version, asset, campaign, iteration
    from materializations
    qualify row_number() over (partition by data_version order by materialized_at, asset) = 1
)

select
    nearest.depth,
    case when models.model_id is not null then 'model'
         when asset in ('sans', 'keyframes') then asset
         else 'episodes' end as kind,
    coalesce(models.kind, first_published.asset) as node,
    nearest.version,
    first_published.campaign,
    first_published.iteration,
    coalesce(
        nullif((select count(*) from training_membership where model_id = nearest.version), 0),
        nullif((select count(*) from sans where sans_version = nearest.version), 0),
        nullif((select count(distinct episode_id) from keyframes where keyframes_version = nearest.version), 0),
        (select count(*) from episode_sets where set_version = nearest.version)
    ) as episodes
from nearest
left join models on models.model_id = nearest.version
left join first_published using (version)
order by nearest.depth, kind, node, first_published.campaign, first_published.iteration, nearest.version;
