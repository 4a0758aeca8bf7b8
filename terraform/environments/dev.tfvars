# For experiments: the smallest configuration that works, removable with one command.
environment = "dev"

database = {
  name_suffix          = "d001"
  tier                 = "db-f1-micro"
  disk_size_limit_gb   = 20
  max_connections      = 40
  reserved_connections = 10
}

api = {
  max_instances      = 2
  database_pool_size = 5
}

processor = {
  max_instances      = 2
  database_pool_size = 2
}

tasks = {
  max_instances      = 1
  database_pool_size = 4
}

delivery = {
  max_instances      = 2
  database_pool_size = 3
}
