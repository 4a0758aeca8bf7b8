variable "project_id" {
  description = "Project of the monitored resources."
  type        = string
  nullable    = false

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{4,28}[a-z0-9]$", var.project_id))
    error_message = "project_id must be a project ID: 6 to 30 lower-case letters, digits and hyphens."
  }
}

variable "project_number" {
  description = "Number of the same project, which the budget needs."
  type        = string
  nullable    = false

  validation {
    condition     = can(regex("^[0-9]+$", var.project_number))
    error_message = "project_number must be a project number, not a project ID."
  }
}

variable "region" {
  description = "Region of the services and location of the audit log."
  type        = string
  nullable    = false

  validation {
    condition     = can(regex("^[a-z]+-[a-z]+[0-9]+$", var.region))
    error_message = "region must be a region such as europe-west1, not a zone."
  }
}

variable "watched" {
  description = "Monitored resources: the names of the API and the processor, every service with its maximum number of instances, the migration job, the scheduled calls, the database with its maximum number of connections, the subscriptions that push, the host of the API, the service that delivers pictures with its host (null: none), and the Cloud Armor policies and URL maps of the load balancer."
  type = object({
    api           = string
    processor     = string
    services      = map(object({ max_instances = number }))
    job_name      = string
    schedules     = list(string)
    database      = object({ instance_name = string, max_connections = number })
    subscriptions = list(string)
    api_host      = string
    delivery      = optional(object({ service = string, host = string }))

    security_policies = optional(list(string), [])
    url_maps          = optional(list(string), [])
  })
  nullable = false

  validation {
    condition     = contains(keys(var.watched.services), var.watched.api) && contains(keys(var.watched.services), var.watched.processor)
    error_message = "watched.services must contain the API and the processor."
  }

  validation {
    condition     = can(regex("^[a-z0-9.-]+$", var.watched.api_host))
    error_message = "watched.api_host must be a host name without scheme and path."
  }

  validation {
    condition     = var.watched.delivery == null ? true : contains(keys(var.watched.services), var.watched.delivery.service) && can(regex("^[a-z0-9.-]+$", var.watched.delivery.host))
    error_message = "watched.delivery must be one of watched.services, with a host name without scheme and path."
  }
}

variable "objectives" {
  description = "Service level objectives over 28 days: the share of requests that do not fail, of requests answered within a time limit, of images that are ready within a time limit after their upload, and of pictures whose delivery does not fail."
  type = object({
    availability                = optional(number, 0.995)
    latency                     = optional(number, 0.95)
    latency_threshold_ms        = optional(number, 1000)
    freshness                   = optional(number, 0.99)
    freshness_threshold_seconds = optional(number, 60)
    delivery                    = optional(number, 0.995)
  })
  nullable = false
  default  = {}

  validation {
    # A burn rate of 14.4 must be possible: with a goal below 1 - 1/14.4, even a complete outage burns more slowly.
    condition     = alltrue([for goal in [var.objectives.availability, var.objectives.latency, var.objectives.freshness, var.objectives.delivery] : goal > 0.9305 && goal < 1])
    error_message = "Each goal must be between 0.9306 and 1. With a lower goal, its fast alert could never fire."
  }

  validation {
    condition     = var.objectives.latency_threshold_ms > 0 && var.objectives.freshness_threshold_seconds > 0
    error_message = "Each threshold must be above 0."
  }
}

variable "delivered_gigabytes_per_hour" {
  description = "Gigabytes (10^9 bytes) of pictures within an hour above which image-delivery is unusually busy. Traffic is billed."
  type        = number
  nullable    = false
  default     = 10

  validation {
    condition     = var.delivered_gigabytes_per_hour >= 1 && floor(var.delivered_gigabytes_per_hour) == var.delivered_gigabytes_per_hour
    error_message = "delivered_gigabytes_per_hour must be a whole number of at least 1."
  }
}

variable "notification_emails" {
  description = "E-mail addresses that receive alerts and budget notifications."
  type        = list(string)
  nullable    = false

  validation {
    condition     = length(var.notification_emails) > 0 && alltrue([for address in var.notification_emails : can(regex("^[^@ ]+@[^@ ]+\\.[^@ ]+$", address))])
    error_message = "notification_emails must contain at least one e-mail address."
  }
}

variable "runbook_url" {
  description = "URL of the runbooks. Each alert links to its heading."
  type        = string
  default     = null

  validation {
    condition     = var.runbook_url == null || startswith(coalesce(var.runbook_url, "https://"), "https://")
    error_message = "runbook_url must be an https URL."
  }
}

variable "audit_retention_days" {
  description = "Days for which audit events are kept."
  type        = number
  nullable    = false
  default     = 400

  validation {
    condition     = var.audit_retention_days >= 30 && var.audit_retention_days <= 3650
    error_message = "audit_retention_days must be between 30 and 3650."
  }
}

variable "budget" {
  description = "Billing account (null: no budget), monthly amount in its currency, and the shares of it at which notifications are sent."
  type = object({
    billing_account = optional(string)
    currency_code   = optional(string, "EUR")
    monthly_amount  = optional(number, 100)
    thresholds      = optional(list(number), [0.5, 0.9, 1])
  })
  nullable = false
  default  = {}

  validation {
    condition     = var.budget.billing_account == null || can(regex("^[0-9A-F]{6}-[0-9A-F]{6}-[0-9A-F]{6}$", var.budget.billing_account))
    error_message = "budget.billing_account must look like 012345-6789AB-CDEF01."
  }

  validation {
    condition     = var.budget.monthly_amount >= 1 && floor(var.budget.monthly_amount) == var.budget.monthly_amount && length(var.budget.thresholds) > 0 && alltrue([for share in var.budget.thresholds : share > 0 && share <= 2])
    error_message = "budget.monthly_amount must be a whole number of at least 1, and each of budget.thresholds between 0 and 2."
  }
}

variable "alert_set" {
  description = "Set of alerts: `full`, or `essential`, without which failures would go unnoticed (at most 14 conditions)."
  type        = string
  nullable    = false
  default     = "full"

  validation {
    condition     = contains(["essential", "full"], var.alert_set)
    error_message = "alert_set must be essential or full."
  }
}
