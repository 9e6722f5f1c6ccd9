-- question: How many episodes of which label, source and policy did two models not share in training?
-- param model: a model: a prefix of its id, or CAMPAIGN/ITERATION for that iteration's world model
-- param against: the model it is compared with, named in the same way
--
-- The counts of training_difference, and those of what trained both alike.
select
    case when other.episode_id is null then 'only the model'
         when ours.episode_id is null then 'only the other'
         when ours.label is distinct from other.label then 'another label'
         else 'both alike' end as change,
    ours.label,
    other.label as other_label,
    episodes.source,
    episodes.policy_id,
    count(*) as episodes
from (from training_membership where model_id = $model) as ours
full join (from training_membership where model_id = $against) as other using (episode_id)
left join episodes on episodes.episode_id = coalesce(ours.episode_id, other.episode_id)
group by all
order by all;
