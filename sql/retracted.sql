-- question: Which episodes were retracted, when and why?
-- param reason: a reason, as it was given [default any]
select
    retractions.retracted_at,
    retractions.reason,
    retractions.episode_id,
    episodes.task,
    episodes.seed,
    episodes.source,
    episodes.policy_id
from retractions
left join episodes using (episode_id)
where $reason = 'any' or retractions.reason = $reason
order by retractions.retracted_at, episodes.task, episodes.seed, retractions.episode_id;
