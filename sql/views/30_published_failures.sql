-- The failures among what each iteration's policy did and handed to the next iteration.
create view published_failures as
select node_episodes.campaign, node_episodes.iteration, node_episodes.episode_id, episodes.policy_id
from node_episodes
left join episodes using (episode_id)
where node_episodes.asset = 'failure_rollouts';
