locals {
  # Maximum number of connections of all services. Each instance is one process with one pool.
  connections_needed    = sum([for name, service in local.service_settings : service.max_instances * service.database_pool_size])
  connections_available = var.database.max_connections - var.database.reserved_connections
}

# Refuses a plan that could exhaust the database's connections, before anything changes.
resource "terraform_data" "connection_budget" {
  input = {
    needed    = local.connections_needed
    available = local.connections_available
  }

  lifecycle {
    precondition {
      condition     = local.connections_needed <= local.connections_available
      error_message = "The services may open ${local.connections_needed} connections, but the database has only ${local.connections_available} for them. Lower max_instances or database_pool_size, or raise database.max_connections."
    }
  }
}

module "database" {
  source = "../modules/database"

  project_id         = var.project_id
  region             = var.region
  labels             = local.labels
  private_network_id = module.network.private_services_network_id
  kms_key            = var.kms_key

  instance = {
    name                = "image-manager-${var.database.name_suffix}"
    tier                = var.database.tier
    availability_type   = var.environment == "prod" ? "REGIONAL" : "ZONAL"
    disk_size_gb        = var.database.disk_size_gb
    disk_size_limit_gb  = var.database.disk_size_limit_gb
    max_connections     = var.database.max_connections
    deletion_protection = local.protected
  }

  # No roles: the first migration grants each service exactly the rights that it needs.
  users = merge(
    { for name, email in local.service_accounts : trimprefix(name, "image-") => { service_account_email = email } if email != null },
    { migrator = { service_account_email = module.image_migrate.service_account_email, database_roles = ["cloudsqlsuperuser"] } },
  )

  depends_on = [google_project_service.this]
}
