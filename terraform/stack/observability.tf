module "observability" {
  source = "../modules/observability"

  project_id           = var.project_id
  project_number       = data.google_project.this.number
  region               = var.region
  notification_emails  = var.notification_emails
  runbook_url          = var.observability.runbook_url
  audit_retention_days = var.observability.audit_retention_days
  objectives           = var.observability.objectives
  budget               = var.observability.budget

  watched = {
    api       = { name = module.image_api.name, max_instances = module.image_api.max_instances }
    processor = { name = module.image_processor.name, max_instances = module.image_processor.max_instances }
    job_name  = module.image_migrate.name
    database = {
      instance_name   = module.database.instance_name
      max_connections = module.database.max_connections
    }
    subscriptions = module.events.subscription_names
    api_host      = var.edge.exclusive ? var.edge.domains[0] : trimprefix(module.image_api.uri, "https://")
  }

  depends_on = [google_project_service.this]
}
