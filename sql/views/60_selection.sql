-- The sets that episodes were recorded for, each member with the moment at which the set was first published.
create view recordings as
select episode_sets.episode_id, published.published_at
from episode_sets
join (
    select data_version, min(materialized_at) as published_at
    from materializations
    where asset in ('demonstrations', 'perturbed_demonstrations', 'exploration_rollouts', 'open_loop_replays',
                    'imported_episodes', 'policy_rollouts')
    group by data_version
) as published on published.data_version = episode_sets.set_version;

-- The episodes of a selection. Each argument is `any` or what must hold: of_seeds FIRST-LAST, both ends in it; since
-- and until moments of recording, until not in it. What worldvla retract marks is what this selects.
create macro selected_episodes(an_episode, of_suite, of_task, of_seeds, of_source, of_policy, since, until) as table
select episode_id, suite, task, seed, source, policy_id, success
from episodes
where (an_episode = 'any' or episode_id = an_episode)
  and (of_suite = 'any' or suite = of_suite)
  and (of_task = 'any' or task = of_task)
  and (of_seeds = 'any' or seed between try_cast(split_part(of_seeds, '-', 1) as bigint)
                                    and try_cast(split_part(of_seeds, '-', 2) as bigint))
  and (of_source = 'any' or source = of_source)
  and (of_policy = 'any' or policy_id = of_policy)
  and (since = 'any' and until = 'any'
       or episode_id in (
           -- Nothing is read where no time is asked for.
           with timed as materialized (from recordings where not (since = 'any' and until = 'any'))
           select episode_id
           from timed
           semi join (
               -- The few that can be meant, so that not every recording is compared.
               select episode_id from timed
               where (since = 'any' or published_at >= try_cast(since as timestamptz))
                 and (until = 'any' or published_at < try_cast(until as timestamptz))
           ) using (episode_id)
           group by episode_id
           having since = 'any' or min(published_at) >= try_cast(since as timestamptz)
       ));
