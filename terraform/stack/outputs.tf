output "api_url" {
  description = "URL of the API."
  value       = coalesce(var.api.public_base_url, module.image_api.uri)
}

output "delivery_url" {
  description = "URL that delivery addresses start with. Null until there is an image-delivery."
  value       = local.delivery_url
}

output "processor_url" {
  description = "URL of the processor, which only Pub/Sub can call."
  value       = module.image_processor.uri
}

output "migration_job_name" {
  description = "Job that migrates the schema and stores the first admin key."
  value       = module.image_migrate.name
}

output "admin_key_secret" {
  description = "Secret with the first admin key."
  value       = module.secrets.secret_names["image-manager-admin-key"]
}

output "network_name" {
  description = "Network whose abandoned peering must be deleted for a complete removal."
  value       = module.network.network_name
}

output "database_instance_name" {
  description = "Name of the database instance."
  value       = module.database.instance_name
}

output "connection_budget" {
  description = "Database connections that the services may open together, and those available to them."
  value       = terraform_data.connection_budget.input
}

output "edge_address" {
  description = "Address that the records of the domains must point to. Null without a load balancer."
  value       = var.edge.enabled ? module.edge[0].address : null
}

output "edge_dns_records" {
  description = "Records that the zone of the domains needs before edge.exclusive. Null without a load balancer."
  value       = one(module.edge[*].dns_records)
}

output "rate_limit_url" {
  description = "URL of the rate limit store. Null without one."
  value       = one(module.rate_limit_store[*].url)
}
