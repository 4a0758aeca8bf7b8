locals {
  # Hosts that are asked every minute from several regions, so nothing behind them ever scales to zero.
  checked_hosts = !local.is_full ? {} : merge({ api = var.watched.api_host }, var.watched.delivery == null ? {} : { delivery = var.watched.delivery.host })
}

resource "google_monitoring_uptime_check_config" "ready" {
  for_each = local.checked_hosts

  project            = var.project_id
  display_name       = each.key == "api" ? "image-manager API" : "image-manager ${each.key}"
  period             = "60s"
  timeout            = "10s"
  selected_regions   = ["EUROPE", "USA_OREGON", "ASIA_PACIFIC"]
  log_check_failures = true

  monitored_resource {
    type = "uptime_url"
    labels = {
      project_id = var.project_id
      host       = each.value
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

moved {
  from = google_monitoring_uptime_check_config.api[0]
  to   = google_monitoring_uptime_check_config.ready["api"]
}
