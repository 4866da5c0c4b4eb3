"""Binds resources to this deployment.

Add here: one line per resource.
Not here: what a resource does (``crm_pipeline/resources.py``).
"""

import dagster as dg

from crm_pipeline.resources import Clock, Deployment, Warehouse


@dg.definitions
def resources() -> dg.Definitions:
    """Everything below one absolute root, named by the environment."""
    deployment = Deployment(home=dg.EnvVar("CRM_HOME"))
    return dg.Definitions(
        resources={
            "deployment": deployment,
            "warehouse": Warehouse(deployment=deployment),
            "clock": Clock(),
        }
    )
