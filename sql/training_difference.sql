-- question: What differs between the training sets of two models, episode by episode?
-- param model: a model: a prefix of its id, or CAMPAIGN/ITERATION for that iteration's world model
-- param against: the model it is compared with, named in the same way
-- show: change, label, other_label, episode_id, task, seed, source, policy_id, retracted
--
-- `change`: the episode trained only the model, only the other one, or both under different labels. What trained both
-- alike is left out. `retracted` is the reason where the episode was withdrawn. Counts: training_difference_counts.
select
    case when other.episode_id is null then 'only the model'
         when ours.episode_id is null then 'only the other'
         else 'another label' end as change,
    ours.label,
    other.label as other_label,
    coalesce(ours.episode_id, other.episode_id) as episode_id,
    episodes.task,
    episodes.seed,
    episodes.source,
    episodes.policy_id,
    retractions.reason as retracted
from (from training_membership where model_id = $model) as ours
full join (from training_membership where model_id = $against) as other using (episode_id)
-- The episode may have been deleted since: the membership still names it.
left join episodes on episodes.episode_id = coalesce(ours.episode_id, other.episode_id)
left join retractions on retractions.episode_id = coalesce(ours.episode_id, other.episode_id)
where ours.label is distinct from other.label or ours.episode_id is null or other.episode_id is null
order by change, label, other_label, task, seed, episode_id;
