-- The episodes that each node holds now, without those retracted. Assets that hold none have no rows.
create view node_episodes as
select current.asset, current.campaign, current.iteration, episode_sets.episode_id
from current
join episode_sets on episode_sets.set_version = current.data_version
anti join retractions on retractions.episode_id = episode_sets.episode_id;
