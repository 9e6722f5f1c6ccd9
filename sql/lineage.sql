-- question: What is this policy made of, step by step back to demonstrations?
-- param policy: a policy: a prefix of its id, or CAMPAIGN/ITERATION
--
-- `depth` counts the steps back from the policy. A model leads to its parent models and to the set it was trained on;
-- SANS leads to the raw episodes and to the failures that were fed back; a set of episodes leads to the policy that
-- acted in it, and so through every earlier iteration. `episodes` counts what a model was trained on, or what a set
-- holds. `campaign` and `iteration` name the place that published the version first: campaigns share what is the same.
with recursive edges(child, parent) as materialized (
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
    -- Who acted in a set. Its first episode says it for all: only unions mix policies, and they lead to their parts.
    select first_member.set_version, episodes.policy_id
    from (select set_version, min(episode_id) as episode_id from episode_sets group by set_version) as first_member
    join episodes using (episode_id)
    where first_member.set_version not in (
        select data_version from materializations where asset = 'raw_episodes'
        except
        select data_version from materializations where asset = 'exploration_rollouts'
    )
),

nearest(version, depth) using key (version) as (
    select $policy, 0
    union
    select edges.parent, min(nearest.depth) + 1
    from nearest
    join edges on edges.child = nearest.version
    where edges.parent is not null and edges.parent not in (select version from recurring.nearest)
    group by edges.parent
),

first_published as (
    select data_version as version, asset, campaign, iteration
    from materializations
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
    coalesce(counted.episodes, 0) as episodes
from nearest
left join models on models.model_id = nearest.version
left join first_published using (version)
left join counted using (version)
order by nearest.depth, kind, node, first_published.campaign, first_published.iteration, nearest.version;
