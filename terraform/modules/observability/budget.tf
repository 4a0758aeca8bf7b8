resource "google_billing_budget" "this" {
  count = var.budget.billing_account == null ? 0 : 1

  billing_account = var.budget.billing_account
  display_name    = "image-manager (${var.project_id})"

  budget_filter {
    # The API always returns the project number, whatever was sent.
    projects        = ["projects/${var.project_number}"]
    calendar_period = "MONTH"
  }

  amount {
    specified_amount {
      currency_code = var.budget.currency_code
      units         = tostring(var.budget.monthly_amount)
    }
  }

  dynamic "threshold_rules" {
    for_each = var.budget.thresholds

    content {
      threshold_percent = threshold_rules.value
      spend_basis       = "CURRENT_SPEND"
    }
  }

  # Notifies when the forecast for the month exceeds the amount.
  threshold_rules {
    threshold_percent = 1
    spend_basis       = "FORECASTED_SPEND"
  }

  all_updates_rule {
    monitoring_notification_channels = local.channels
    disable_default_iam_recipients   = false
  }
}
