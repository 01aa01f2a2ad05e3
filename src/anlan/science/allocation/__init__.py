"""Who goes where: roads, paths around a moving cloud, evacuation with capacities, dispatch of teams and goods."""
