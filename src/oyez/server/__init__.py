"""How it travels: transports, the hub of this process, the engine of the deployment, operations."""
