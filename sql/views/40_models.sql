-- A model's parents, one a row: the role it plays (base_policy, world_model, ...) and its id.
create view model_parents as
select model_id, role, parents ->> role as parent_id
from (select model_id, parents, unnest(json_keys(parents)) as role from models);

-- The nodes that published a model, now or earlier: several where campaigns share it.
create view model_nodes as
select distinct
    models.model_id, models.kind, materializations.asset, materializations.campaign, materializations.iteration
from materializations
join models on models.model_id = materializations.data_version;
