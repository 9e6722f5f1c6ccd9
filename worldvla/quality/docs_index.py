"""The index page of Data Docs, without reading every result whole: Great Expectations loads this by name.

Its own builder takes each result apart into objects to learn whether it was a success, 20 ms
each; the files say so in one field.
"""

import json
from pathlib import Path

from great_expectations.render.renderer.site_builder import DefaultSiteIndexBuilder


class Index(DefaultSiteIndexBuilder):
    def _add_validations_to_index_links(self, index_links_dict: dict, validation_and_profiling_result_site_keys: list):
        results = Path(self.data_context.validation_results_store.store_backend.full_base_directory)
        for key in sorted(validation_and_profiling_result_site_keys, key=lambda key: key.run_id.run_time, reverse=True):
            suite = key.expectation_suite_identifier.name
            path = results.joinpath(*key.to_tuple()).with_suffix(".json")
            self.add_resource_info_to_index_links_dict(
                index_links_dict=index_links_dict,
                expectation_suite_name=suite,
                section_name="validations",
                batch_identifier=key.batch_identifier,
                run_id=key.run_id,
                validation_success=json.loads(path.read_text())["success"],
                run_time=key.run_id.run_time,
                run_name=key.run_id.run_name,
                asset_name=suite,
                batch_kwargs={},
                batch_spec={},
            )
