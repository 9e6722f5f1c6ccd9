-- question: If these episodes turned out bad, which sets, models and evaluations would have to be made again?
-- param episode: one episode: a prefix of its id [default any]
-- param suite: a suite [default any]
-- param task: a task [default any]
-- param seeds: seeds of the simulator's reset: one, or FIRST-LAST, both in it [default any]
-- param source: what kind of actor: expert, perturbed, policy, open_loop, teleop, import [default any]
-- param policy: a policy: a prefix of its id, or CAMPAIGN/ITERATION [default any]
-- param after: recorded at this time or later, for example 2026-11-21T06:30 (UTC) [default any]
-- param before: recorded before this time [default any]
--
-- The episodes are those of episodes_of. Depth 0 are the sets, the SANS and the models that hold or learned from some of
-- them, `episodes` says how many: a recorded set only loses them and is not recorded again. Depth 1 was made from such a
-- version, and so on through every iteration: a policy's rollouts, the failures fed back, the models trained on those.
-- `held_by` are the places of the loop that hold the version now: they are what `worldvla status` calls stale after
-- `worldvla retract`. Nothing there means that only the past is touched. A set that holds no episodes now is found where
-- it was made from what is reached, and leads no further.
with recursive selected as materialized (
    select episode_id from selected_episodes($episode, $suite, $task, $seeds, $source, $policy, $after, $before)
),

holds as materialized (
    select set_version as version, count(*) as episodes
    from episode_sets semi join selected using (episode_id) group by all
    union all
    select sans_version, count(*) from sans semi join selected using (episode_id) group by all
    union all
    select model_id, count(*) from training_membership semi join selected using (episode_id) group by all
),

edges as materialized (from version_edges where parent is not null and parent <> child),

reached(version, depth) using key (version) as (
    select distinct version, 0 from holds
    union
    select edges.child, min(reached.depth) + 1
    from reached
    join edges on edges.parent = reached.version
    where edges.child not in (select version from recurring.reached)
    group by edges.child
),

held as (
    select data_version as version, asset,
        string_agg(concat_ws('/', campaign, nullif(iteration, '')), ', ' order by campaign, iteration) as held_by
    from (
        from publications
        qualify row_number() over (partition by asset, campaign, iteration order by materialized_at desc) = 1
    )
    group by all
),

-- Found by place: of the version alone every campaign that has such a set would be named.
emptied as (
    select depth, asset, string_agg(place, ', ' order by place) as held_by
    from (
        select min(reached.depth) + 1 as depth, read.asset, concat_ws('/', campaign, nullif(iteration, '')) as place
        from reads as read
        join reached on reached.version = read.parent
        where read.child = empty_set() and (read.asset, read.campaign, read.iteration, read.materialized_at) in (
            select (asset, campaign, iteration, materialized_at) from current
        )
        group by read.asset, place
    )
    group by depth, asset
),

published as (select distinct data_version as version, asset from publications),

-- By itself: beside a recursion DuckDB reads every column of a table.
kinds as materialized (select model_id, kind from models)

select
    reached.depth,
    coalesce(published.asset, kinds.kind, 'never published') as asset,
    reached.version,
    holds.episodes,
    held.held_by
from reached
left join published using (version)
left join kinds on kinds.model_id = reached.version
left join holds using (version)
left join held on held.version = reached.version and held.asset = published.asset
union all
select depth, asset, empty_set(), null, held_by from emptied
order by depth, asset, held_by, version;
