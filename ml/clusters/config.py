"""Every number of the clusters, with its reason.

Add here: settings. Not here: learned parameters.
"""

from dataclasses import dataclass

__all__ = ["ClusterConfig"]


@dataclass(frozen=True)
class ClusterConfig:
    """Settings of ``ClusterModel`` and of its gate."""

    # Fewer customers are known by name; groups of them are chance.
    min_customers: int = 50
    # Two are what any line cuts; nobody plans for more than eight.
    min_clusters: int = 3
    max_clusters: int = 8

    # A fit on this many is the fit on all of them; distances between all pairs need fewer.
    fit_sample: int = 20_000
    silhouette_sample: int = 2_000
    # KMeans finds a near optimum from one start in many; more than five hardly find a better one.
    starts: int = 5
    # A customer further out than this many standard deviations counts as this far: one wholesale
    # buyer is no cluster.
    max_deviation: float = 4.0

    # 1 = the same groups, 0 = chance. Steinley (2004) calls .65 moderate and .9 excellent for two
    # groupings of one data set; here a month lies between, in which people do move.
    min_adjusted_rand_index: float = 0.6
    # On fewer common customers the index says little.
    min_common_customers: int = 50

    # Bands of a cluster's centre, in standard deviations, that give it its name.
    high_from: float = 0.5
    low_to: float = -0.5

    seed: int = 20
    # Decimals kept, so that equal inputs give equal files on any machine.
    decimals: int = 6
