# For production: a standby database, one warm instance each of the API and image-delivery, and deletion protection.
environment = "prod"

database = {
  name_suffix          = "p001"
  tier                 = "db-custom-2-7680"
  disk_size_gb         = 20
  disk_size_limit_gb   = 500
  max_connections      = 260
  reserved_connections = 30
}

api = {
  min_instances      = 1
  max_instances      = 10
  database_pool_size = 8
}

processor = {
  max_instances      = 20
  database_pool_size = 4
}

tasks = {
  max_instances      = 2
  database_pool_size = 5
}

delivery = {
  min_instances      = 1
  max_instances      = 16
  database_pool_size = 3
}

storage = {
  soft_delete_days = 30
}
