"""From events to views: projections, their runner, backends, search, generations and reconcilers."""
