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

output "image" {
  description = "First image of the container."
  value       = google_cloud_run_v2_service.this.template[0].containers[0].image
}

output "command" {
  description = "Command of the container."
  value       = google_cloud_run_v2_service.this.template[0].containers[0].command
}

output "execution_environment" {
  description = "Generation of the sandbox that instances run in."
  value       = google_cloud_run_v2_service.this.template[0].execution_environment
}

output "size" {
  description = "Number and size of the instances."
  value = {
    min_instances = google_cloud_run_v2_service.this.scaling[0].min_instance_count
    max_instances = google_cloud_run_v2_service.this.scaling[0].max_instance_count
    concurrency   = google_cloud_run_v2_service.this.template[0].max_instance_request_concurrency
    cpu           = google_cloud_run_v2_service.this.template[0].containers[0].resources[0].limits["cpu"]
    memory        = google_cloud_run_v2_service.this.template[0].containers[0].resources[0].limits["memory"]
    cpu_idle      = google_cloud_run_v2_service.this.template[0].containers[0].resources[0].cpu_idle
  }
}
