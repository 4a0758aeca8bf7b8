locals {
  alert_template = yamldecode(templatefile("${path.module}/alerts.yaml.tftpl", {
    services       = join(", ", [for name in keys(var.watched.services) : "\"${name}\""])
    work           = join(", ", [for name in var.watched.subscriptions : "\"${name}\""])
    job            = var.watched.job_name
    database       = "${var.project_id}:${var.watched.database.instance_name}"
    connections    = floor(var.watched.database.max_connections * 0.8)
    most_instances = local.most_instances
    delivery       = try(var.watched.delivery.service, "")
    gigabytes      = var.delivered_gigabytes_per_hour
  }))

  # Each service has its own limit, so a common threshold is impossible. As a query, it is a single condition.
  most_instances = join(" or ", [
    for name, service in var.watched.services : "sum by (service_name) (max_over_time(run_googleapis_com:container_instance_count{monitored_resource=\"cloud_run_revision\",service_name=\"${name}\",state=\"active\"}[1m])) >= ${service.max_instances}"
  ])

  is_full = var.alert_set == "full"
  alerts = {
    for name, alert in local.alert_template : name => alert
    if(local.is_full || try(alert.alert_set, "essential") == "essential") && (var.watched.delivery != null || !try(alert.only_delivery, false))
  }

  # The long window shows that the problem matters, the short one that it continues. Source: The Site Reliability Workbook,
  # "Alerting on SLOs", multiwindow, multi-burn-rate alerts. The essential set omits the short window, a condition
  # that is billed monthly, so its alert ends up to an hour after its cause.
  burn_rates = { for speed, burn in {
    fast = { rate = 14.4, windows = ["3600s", "300s"] }
    slow = { rate = 6, windows = ["21600s", "1800s"] }
    } : speed => { rate = burn.rate, windows = slice(burn.windows, 0, local.is_full ? 2 : 1) } if local.is_full || speed == "fast"
  }

  burn_alerts = merge([
    for name, alert in local.alerts : {
      for speed, burn in local.burn_rates : "${name}-${speed}" => merge(burn, { alert = name, objective = alert.slo, speed = speed })
    } if can(alert.slo)
  ]...)

  threshold_alerts = { for name, alert in local.alerts : name => alert if can(alert.condition) }
  query_alerts     = { for name, alert in local.alerts : name => alert if can(alert.query) }

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
      # Known only after the check exists. In the template, it would make the alerts' names unknown in plans.
      filter             = each.key == "uptime" ? replace(each.value.condition.filter, "UPTIME_CHECK_IDS", join(", ", [for check in google_monitoring_uptime_check_config.ready : "\"${check.uptime_check_id}\""])) : each.value.condition.filter
      denominator_filter = try(each.value.condition.denominator, null)
      comparison         = "COMPARISON_GT"
      threshold_value    = each.value.condition.threshold
      duration           = each.value.condition.duration

      aggregations {
        alignment_period     = each.value.condition.period
        per_series_aligner   = each.value.condition.aligner
        cross_series_reducer = each.value.condition.reducer
        group_by_fields      = try([each.value.condition.group_by], null)
      }

      dynamic "denominator_aggregations" {
        for_each = can(each.value.condition.denominator) ? [each.value.condition] : []

        content {
          alignment_period     = denominator_aggregations.value.period
          per_series_aligner   = denominator_aggregations.value.aligner
          cross_series_reducer = denominator_aggregations.value.reducer
          group_by_fields      = [denominator_aggregations.value.group_by]
        }
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

  # A policy is rejected until the metric that it uses exists.
  depends_on = [google_logging_metric.counted]
}

resource "google_monitoring_alert_policy" "query" {
  for_each = local.query_alerts

  project               = var.project_id
  display_name          = each.value.title
  combiner              = "OR"
  severity              = each.value.severity
  notification_channels = local.channels
  user_labels           = { alert = each.key }

  conditions {
    display_name = each.value.title

    condition_prometheus_query_language {
      query               = each.value.query
      duration            = each.value.duration
      evaluation_interval = "60s"
      # A metric without any data is unknown, and that is when this alert is needed.
      disable_metric_validation = true
    }
  }

  documentation {
    mime_type = "text/markdown"
    content   = local.documentation[each.key]
  }

  alert_strategy {
    auto_close = "86400s"
  }

  depends_on = [google_logging_metric.counted, google_logging_metric.measured]
}
