"""The processes of a cluster: workers own slots, projectors keep views; both are stopped and started at any moment."""
