-- question: Which failed episodes trained this model, and which policy of which iteration produced them?
-- param model: a model: a prefix of its id, or CAMPAIGN/ITERATION for that iteration's world model
-- param origin: how the episodes came to SANS: feedback, exploration_rollouts, open_loop_replays, imported_episodes, perturbed_demonstrations, demonstrations; any for all [default feedback]
-- empty: no such episode; --origin any counts the failures of exploration and replays, too. A policy that learned in imagination saw the failures of its world model: ask for that one
--
-- Every row of the model's training membership whose episode failed. Where it came from is what the SANS version says
-- that the model was trained on (training_membership.set_version): `feedback` are the failures that an earlier
-- iteration's policy made and published, `iteration` is that iteration. With origin `any` models that were not trained
-- on SANS are answered too; their rows have neither origin nor iteration. A policy trained in imagination has seen the
-- failures of its world model only: ask for that one (see models_trained_on).
select
    membership.episode_id,
    coalesce(membership.label, sans.label) as label,
    episodes.task,
    episodes.seed,
    sans.origin,
    sans.origin_iteration as iteration,
    coalesce(episodes.policy_id, sans.policy_id) as policy_id
from training_membership as membership
-- The episode may have been deleted since: the membership still names it.
left join episodes using (episode_id)
left join sans on sans.sans_version = membership.set_version and sans.episode_id = membership.episode_id
where membership.model_id = $model
  and coalesce(not episodes.success, sans.label <> 'success', membership.label in ('near_success', 'failure'))
  and ($origin = 'any' or sans.origin = $origin)
order by iteration, origin, task, seed, episode_id;
