-- question: Which models did this episode touch, however indirectly?
-- param episode: an episode: a prefix of its id
--
-- Depth 0 trained on the episode itself. Depth 1 was made from such a model (a policy from its world model, a world
-- model from the pre-trained one) or learned from episodes that such a policy recorded; so on through all iterations.
-- `how` says which; `path` is the shortest way from the episode to the model; `published_as` are the places of the loop
-- that hold or held it; `label` is the one under which the episode was trained on.
with recursive steps as materialized (
    select parent_id as parent, model_id as child, 'made from it' as how from model_parents
    union all
    select policy_id, model_id, 'learned from its episodes' from models_taught
),

reached(model_id, depth, path, how, label) using key (model_id) as (
    select model_id, 0, [model_id], 'trained on the episode', label
    from training_membership
    where episode_id = $episode
    union
    select steps.child, min(depth) + 1, arg_min(list_append(path, steps.child), (steps.how <> 'made from it', path)),
        arg_min(steps.how, (steps.how <> 'made from it', path)), null
    from reached
    join steps on steps.parent = reached.model_id
    where steps.child not in (select model_id from recurring.reached)
    group by steps.child
),

-- By itself: beside a recursion DuckDB reads every column of a table.
kinds as materialized (select model_id, kind from models)

select
    reached.depth,
    kinds.kind,
    reached.model_id,
    (select string_agg(concat_ws('/', campaign, nullif(iteration, '')), ', ' order by campaign, iteration)
     from model_nodes where model_nodes.model_id = reached.model_id) as published_as,
    reached.how,
    reached.label,
    (select string_agg(step.kind || ' ' || left(step.model_id, 8), ' -> '
                       order by list_position(reached.path, step.model_id))
     from kinds as step where list_contains(reached.path, step.model_id)) as path
from reached
left join kinds using (model_id)
order by depth, kind, published_as, reached.model_id;
