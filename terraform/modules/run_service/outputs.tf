output "name" {
  description = "Name of the service."
  value       = google_cloud_run_v2_service.this.name
}

output "uri" {
  description = "URL of the service at run.app."
  value       = google_cloud_run_v2_service.this.uri
}

output "service_account_email" {
  description = "E-mail address of the service's account."
  value       = local.email
}

output "custom_audiences" {
  description = "Audiences that tokens may name besides the service's URL."
  value       = google_cloud_run_v2_service.this.custom_audiences
}

output "max_instances" {
  description = "Maximum number of instances."
  value       = var.scaling.max_instances
}

output "access" {
  description = "Ingress, and whether callers need no identity."
  value = {
    ingress = google_cloud_run_v2_service.this.ingress
    public  = google_cloud_run_v2_service.this.invoker_iam_disabled
  }
}

output "deletion_protection" {
  description = "Whether the service is protected against deletion by a plan."
  value       = google_cloud_run_v2_service.this.deletion_protection
}

output "request_timeout_seconds" {
  description = "Time limit of one request, in seconds."
  value       = tonumber(trimsuffix(google_cloud_run_v2_service.this.template[0].timeout, "s"))
}
