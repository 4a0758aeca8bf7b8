resource "google_monitoring_custom_service" "this" {
  project      = var.project_id
  service_id   = "image-manager"
  display_name = "image-manager"
}

locals {
  api_requests = "resource.type=\"cloud_run_revision\" AND resource.labels.service_name=\"${var.watched.api}\""

  # Requests whose 5xx count as bad, by objective.
  ratios = merge({ availability = local.api_requests }, var.watched.delivery == null ? {} : {
    delivery = "resource.type=\"cloud_run_revision\" AND resource.labels.service_name=\"${var.watched.delivery.service}\""
  })

  objectives = merge({
    availability = { goal = var.objectives.availability, display_name = "Requests that do not fail" }
    latency      = { goal = var.objectives.latency, display_name = "Requests answered within ${var.objectives.latency_threshold_ms} ms" }
    freshness    = { goal = var.objectives.freshness, display_name = "Images ready within ${var.objectives.freshness_threshold_seconds} s" }
    }, var.watched.delivery == null ? {} : {
    delivery = { goal = var.objectives.delivery, display_name = "Pictures that are delivered" }
  })

  cuts = {
    latency = {
      filter = "metric.type=\"logging.googleapis.com/user/${google_logging_metric.answer_seconds.name}\" AND resource.type=\"cloud_run_revision\""
      max    = var.objectives.latency_threshold_ms / 1000
    }
    freshness = {
      filter = "metric.type=\"logging.googleapis.com/user/${google_logging_metric.image_ready_seconds.name}\" AND resource.type=\"cloud_run_revision\""
      max    = var.objectives.freshness_threshold_seconds
    }
  }
}

resource "google_monitoring_slo" "this" {
  for_each = local.objectives

  project             = var.project_id
  service             = google_monitoring_custom_service.this.service_id
  slo_id              = each.key
  display_name        = each.value.display_name
  goal                = each.value.goal
  rolling_period_days = 28

  request_based_sli {
    dynamic "good_total_ratio" {
      for_each = [for name, requests in local.ratios : requests if name == each.key]

      content {
        total_service_filter = "metric.type=\"run.googleapis.com/request_count\" AND ${good_total_ratio.value}"
        bad_service_filter   = "metric.type=\"run.googleapis.com/request_count\" AND ${good_total_ratio.value} AND metric.labels.response_code_class=\"5xx\""
      }
    }

    dynamic "distribution_cut" {
      for_each = [for name, cut in local.cuts : cut if name == each.key]

      content {
        distribution_filter = distribution_cut.value.filter

        range {
          max = distribution_cut.value.max
        }
      }
    }
  }
}
