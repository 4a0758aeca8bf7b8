# For a single team in production: point-in-time recovery and deletion protection, and no costs for idle instances.
environment = "small"

database = {
  name_suffix          = "s001"
  tier                 = "db-g1-small"
  disk_size_limit_gb   = 50
  max_connections      = 60
  reserved_connections = 12
}

api = {
  max_instances      = 2
  database_pool_size = 6
}

processor = {
  max_instances      = 3
  database_pool_size = 3
}

tasks = {
  max_instances      = 2
  database_pool_size = 4
}

delivery = {
  max_instances      = 3
  database_pool_size = 3
}
