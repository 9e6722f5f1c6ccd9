-- question: Which models learned from this episode, directly or through the models they were made from?
-- param episode: an episode: a prefix of its id
--
-- Depth 0 trained on the episode itself; depth 1 has such a model as a parent (a policy its world model, a world model
-- the pre-trained one), and so on. `path` is the shortest way from the episode to the model; `published_as` are the
-- places of the loop that hold or held it; `label` is the one under which the episode was trained on.
with recursive reached(model_id, depth, path, label) as (
    select model_id, 0, [model_id], label
    from training_membership
    where episode_id = $episode
    union all
    select model_parents.model_id, depth + 1, list_append(path, model_parents.model_id), null
    from reached
    join model_parents on model_parents.parent_id = reached.model_id
    where not list_contains(path, model_parents.model_id)
),

nearest as (
    select * from reached
    qualify row_number() over (partition by model_id order by depth, path) = 1
)

select
    nearest.depth,
    models.kind,
    nearest.model_id,
    (select string_agg(concat_ws('/', campaign, nullif(iteration, '')), ', ' order by campaign, iteration)
     from model_nodes where model_nodes.model_id = nearest.model_id) as published_as,
    nearest.label,
    (select string_agg(step.kind || ' ' || left(step.model_id, 8), ' -> ' order by list_position(nearest.path, step.model_id))
     from models as step where list_contains(nearest.path, step.model_id)) as path
from nearest
left join models using (model_id)
order by depth, kind, published_as, nearest.model_id;
