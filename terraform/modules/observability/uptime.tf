resource "google_monitoring_uptime_check_config" "api" {
  # It sends requests every minute from several regions, so nothing behind it ever scales to zero.
  count = local.is_full ? 1 : 0

  project            = var.project_id
  display_name       = "image-manager API"
  period             = "60s"
  timeout            = "10s"
  selected_regions   = ["EUROPE", "USA_OREGON", "ASIA_PACIFIC"]
  log_check_failures = true

  monitored_resource {
    type = "uptime_url"
    labels = {
      project_id = var.project_id
      host       = var.watched.api_host
    }
  }

  http_check {
    path           = "/health/ready"
    port           = 443
    request_method = "GET"
    use_ssl        = true
    validate_ssl   = true

    accepted_response_status_codes {
      status_class = "STATUS_CLASS_2XX"
    }
  }
}
