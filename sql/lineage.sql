-- question: What is this policy made of, step by step back to demonstrations?
-- param policy: a policy: a prefix of its id, or CAMPAIGN/ITERATION
--
-- `depth` counts the steps back from the policy, as publications say what was read. A model leads to its parent models
-- and to the set it was trained on; SANS leads to the raw episodes and to what earlier policies did; a recorded set
-- leads to the policy that acted in it, and so through every earlier iteration. Sets of no episodes are left out.
-- `episodes` counts what a model was trained on, or what a set holds. `campaign` and `iteration` name the place that
-- published the version first: campaigns share what is the same.
with recursive edges as materialized (
    select child, parent from version_edges
    -- A measurement lets a policy be trained; it is no part of it.
    where parent is not null and role not in ('alignment', 'evaluation', 'judge')
),

nearest(version, depth) using key (version) as (
    select $policy, 0
    union
    select edges.parent, min(nearest.depth) + 1
    from nearest
    join edges on edges.child = nearest.version
    where edges.parent not in (select version from recurring.nearest)
    group by edges.parent
),

first_published as (
    select data_version as version, asset, campaign, iteration
    from publications
    qualify row_number() over (partition by data_version order by materialized_at, asset) = 1
),

-- Of a model what it was trained on, of a set what it holds.
counted as (
    select model_id as version, count(*) as episodes from training_membership group by all
    union all
    select sans_version, count(*) from sans group by all
    union all
    select keyframes_version, count(distinct episode_id) from keyframes group by keyframes_version
    union all
    select set_version, count(*) from episode_sets group by all
),

-- By itself: beside a recursion DuckDB reads every column of a table.
kinds as materialized (select model_id, kind from models)

select
    nearest.depth,
    case when kinds.model_id is not null then 'model'
         when asset in ('sans', 'keyframes') then asset
         else 'episodes' end as kind,
    coalesce(kinds.kind, first_published.asset) as node,
    nearest.version,
    first_published.campaign,
    first_published.iteration,
    coalesce(counted.episodes, 0) as episodes
from nearest
left join kinds on kinds.model_id = nearest.version
left join first_published using (version)
left join counted using (version)
order by nearest.depth, kind, node, first_published.campaign, first_published.iteration, nearest.version;
