-- The state of every node of the asset graph: its newest materialization.
create view current as
select materializations.*
from materializations
-- Not `qualify`: DuckDB would read every column, whichever are asked for.
semi join (
    select asset, campaign, iteration, max(materialized_at) as materialized_at from materializations group by all
) as newest using (asset, campaign, iteration, materialized_at);
