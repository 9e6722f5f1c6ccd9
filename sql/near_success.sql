-- question: Why does each episode of an iteration have its label?
-- param campaign: a campaign
-- param iteration: an iteration
-- show: episode_id, task, seed, split, label, rule, origin, origin_iteration
--
-- `rule` says in words what decided; the numbers that it compares stand beside it. Progress is the simulator's own, in
-- [0, 1], from privileged state: an episode without a successful state is near_success when its best progress reaches
-- `threshold`, else a failure.
select
    sans.episode_id,
    episodes.task,
    episodes.seed,
    sans.split,
    sans.label,
    sans.rule,
    sans.threshold,
    sans.success_frames,
    sans.best_progress,
    sans.best_progress_step,
    sans.final_progress,
    sans.origin,
    sans.origin_iteration,
    sans.policy_id
from current_sans as sans
left join episodes using (episode_id)
where sans.campaign = $campaign and sans.iteration = $iteration
order by sans.label desc, sans.best_progress desc, task, seed, sans.episode_id;
