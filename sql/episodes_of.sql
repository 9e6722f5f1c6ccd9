-- question: Which episodes would have to go if a sensor, a task, its seeds, a policy or a night turned out bad?
-- param episode: one episode: a prefix of its id [default any]
-- param suite: a suite [default any]
-- param task: a task [default any]
-- param seeds: seeds of the simulator's reset: one, or FIRST-LAST, both in it [default any]
-- param source: what kind of actor: expert, perturbed, policy, open_loop, teleop, import [default any]
-- param policy: a policy: a prefix of its id, or CAMPAIGN/ITERATION [default any]
-- param after: recorded at this time or later, for example 2026-11-21T06:30 (UTC) [default any]
-- param before: recorded before this time [default any]
-- show: episode_id, suite, task, seed, source, policy_id, success, recorded_at, retracted
--
-- An episode was recorded when a set that it was recorded for was first published; one that no set holds has no time.
-- `retracted` is the reason where it was withdrawn before. `worldvla retract` takes the same parameters and marks these
-- episodes; what would be stale then: downstream_of.
with selected as materialized (
    from selected_episodes($episode, $suite, $task, $seeds, $source, $policy, $after, $before)
),

times as (
    select episode_id, min(published_at) as recorded_at
    from recordings
    semi join selected using (episode_id)
    group by episode_id
)

select selected.*, times.recorded_at, retractions.reason as retracted
from selected
left join times using (episode_id)
left join retractions using (episode_id)
order by task, seed, episode_id;
