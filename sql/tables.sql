-- question: What is the state of every table: its version, its rows, and what wrote it last?
--
-- With `--as-of CAMPAIGN/ITERATION`, as every audit can be asked: the state on the night of that iteration. asset,
-- campaign, iteration and run_id are what the Lance transaction of that version says; compaction says nothing.
select * from table_states order by table_name;
