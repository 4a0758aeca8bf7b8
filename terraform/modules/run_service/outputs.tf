output "name" {
  description = "Name of the service."
  value       = google_cloud_run_v2_service.this.name
}

output "uri" {
  description = "URL of the service at run.app."
  value       = google_cloud_run_v2_service.this.uri
}

output "service_account_email" {
  description = "E-mail address of the service's own account."
  value       = local.email
}

output "custom_audiences" {
  description = "Audiences that tokens may name beside the service's URL."
  value       = google_cloud_run_v2_service.this.custom_audiences
}

output "max_instances" {
  description = "Most instances of the service."
  value       = var.scaling.max_instances
}

output "access" {
  description = "From where the service is reached, and whether without an identity."
  value = {
    ingress = google_cloud_run_v2_service.this.ingress
    public  = google_cloud_run_v2_service.this.invoker_iam_disabled
  }
}

output "deletion_protection" {
  description = "Whether a plan may not delete the service."
  value       = google_cloud_run_v2_service.this.deletion_protection
}

output "request_timeout_seconds" {
  description = "How long the service works on one request."
  value       = tonumber(trimsuffix(google_cloud_run_v2_service.this.template[0].timeout, "s"))
}
