locals {
  alerts = yamldecode(templatefile("${path.module}/alerts.yaml.tftpl", {
    api          = var.watched.api.name
    processor    = var.watched.processor.name
    job          = var.watched.job_name
    database     = "${var.project_id}:${var.watched.database.instance_name}"
    uploads      = var.watched.subscriptions.uploads
    analyses     = var.watched.subscriptions.analyses
    dead_letters = var.watched.subscriptions.dead_letters
    connections  = floor(var.watched.database.max_connections * 0.8)
    # Conditions compare with "greater than" only.
    api_instances       = var.watched.api.max_instances - 0.5
    processor_instances = var.watched.processor.max_instances - 0.5
  }))

  # A long window says that it matters, a short one that it still goes on. Source: The Site Reliability Workbook,
  # "Alerting on SLOs", multiwindow, multi-burn-rate alerts.
  burn_rates = {
    fast = { rate = 14.4, windows = ["3600s", "300s"] }
    slow = { rate = 6, windows = ["21600s", "1800s"] }
  }

  burn_alerts = merge([
    for name, alert in local.alerts : {
      for speed, burn in local.burn_rates : "${name}-${speed}" => merge(burn, { alert = name, objective = alert.slo, speed = speed })
    } if can(alert.slo)
  ]...)

  threshold_alerts = { for name, alert in local.alerts : name => alert if can(alert.condition) }

  documentation = {
    for name, alert in local.alerts : name => join("\n\n", concat(
      ["**Meaning.** ${alert.meaning}", "**First look.** ${alert.first_look}", "**Fix.** ${alert.fix}"],
      var.runbook_url == null ? [] : ["[Runbook](${var.runbook_url}#${name})"],
    ))
  }

  channels = [for channel in google_monitoring_notification_channel.email : channel.id]
}

resource "google_monitoring_notification_channel" "email" {
  for_each = toset(var.notification_emails)

  project      = var.project_id
  type         = "email"
  display_name = each.value
  labels       = { email_address = each.value }
}

resource "google_monitoring_alert_policy" "burn_rate" {
  for_each = local.burn_alerts

  project               = var.project_id
  display_name          = "${local.alerts[each.value.alert].title} (${each.value.rate} times)"
  combiner              = "AND"
  severity              = each.value.speed == "fast" ? local.alerts[each.value.alert].severity : "WARNING"
  notification_channels = local.channels
  user_labels           = { alert = each.value.alert }

  dynamic "conditions" {
    for_each = each.value.windows

    content {
      display_name = "Burns ${each.value.rate} times too fast over ${conditions.value}"

      condition_threshold {
        filter          = "select_slo_burn_rate(\"${google_monitoring_slo.this[each.value.objective].name}\", \"${conditions.value}\")"
        comparison      = "COMPARISON_GT"
        threshold_value = each.value.rate
        duration        = "0s"
      }
    }
  }

  documentation {
    mime_type = "text/markdown"
    content   = local.documentation[each.value.alert]
  }

  alert_strategy {
    auto_close = "86400s"
  }
}

resource "google_monitoring_alert_policy" "threshold" {
  for_each = local.threshold_alerts

  project               = var.project_id
  display_name          = each.value.title
  combiner              = "OR"
  severity              = each.value.severity
  notification_channels = local.channels
  user_labels           = { alert = each.key }

  conditions {
    display_name = each.value.title

    condition_threshold {
      # Known only after the check is made, so it cannot stand in the template: the alerts' names would not be known.
      filter          = each.key == "uptime" ? replace(each.value.condition.filter, "UPTIME_CHECK_ID", google_monitoring_uptime_check_config.api.uptime_check_id) : each.value.condition.filter
      comparison      = "COMPARISON_GT"
      threshold_value = each.value.condition.threshold
      duration        = each.value.condition.duration

      aggregations {
        alignment_period     = each.value.condition.period
        per_series_aligner   = each.value.condition.aligner
        cross_series_reducer = each.value.condition.reducer
      }
    }
  }

  documentation {
    mime_type = "text/markdown"
    content   = local.documentation[each.key]
  }

  alert_strategy {
    auto_close = "86400s"
  }

  # A policy is refused while the metric that it names is unknown.
  depends_on = [google_logging_metric.images_failed]
}
