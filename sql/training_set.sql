-- question: What was this model trained on: how many episodes of which label, source and policy?
-- param model: a model: a prefix of its id, or CAMPAIGN/ITERATION for that iteration's world model
select
    membership.set_version,
    membership.label,
    episodes.task,
    episodes.source,
    episodes.policy_id,
    count(*) as episodes,
    sum(episodes.length)::bigint as actions
from training_membership as membership
left join episodes using (episode_id)
where membership.model_id = $model
group by all
order by all;
