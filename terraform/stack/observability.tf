module "observability" {
  source = "../modules/observability"

  project_id           = var.project_id
  project_number       = data.google_project.this.number
  region               = var.region
  notification_emails  = var.notification_emails
  runbook_url          = var.observability.runbook_url
  audit_retention_days = var.observability.audit_retention_days

  delivered_gigabytes_per_hour = var.observability.delivered_gigabytes_per_hour

  objectives = var.observability.objectives
  budget     = var.observability.budget
  alert_set  = coalesce(var.observability.alert_set, var.environment == "prod" ? "full" : "essential")

  watched = {
    api       = module.image_api.name
    processor = module.image_processor.name
    services  = { for name, service in local.services : name => { max_instances = service.max_instances } }
    job_name  = module.image_migrate.name
    schedules = [google_cloud_scheduler_job.sweep.name, google_cloud_scheduler_job.retention.name]
    database = {
      instance_name   = module.database.instance_name
      max_connections = module.database.max_connections
    }
    subscriptions = [for key, name in module.events.subscription_names : name if key != "dead_letters"]
    delivery = var.images.delivery == null ? null : {
      service = module.image_delivery[0].name
      host    = try(var.edge.delivery.exclusive, false) ? var.edge.delivery.domain : trimprefix(module.image_delivery[0].uri, "https://")
    }
    security_policies = flatten(module.edge[*].security_policy_names)
    url_maps          = flatten(module.edge[*].url_map_names)

    api_host = var.edge.exclusive ? var.edge.domains[0] : trimprefix(module.image_api.uri, "https://")
  }

  depends_on = [google_project_service.this]
}
