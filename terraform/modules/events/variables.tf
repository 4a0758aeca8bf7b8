variable "project_id" {
  description = "Project of topics and subscriptions."
  type        = string
  nullable    = false

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{4,28}[a-z0-9]$", var.project_id))
    error_message = "project_id must be a project ID: 6 to 30 lower-case letters, digits and hyphens."
  }
}

variable "labels" {
  description = "Labels of all resources that support labels. They appear on the bill."
  type        = map(string)
  nullable    = false
  default     = {}
}

variable "region" {
  description = "The only region where messages may be stored."
  type        = string
  nullable    = false

  validation {
    condition     = can(regex("^[a-z]+-[a-z]+[0-9]+$", var.region))
    error_message = "region must be a region such as europe-west1, not a zone."
  }
}

variable "push" {
  description = "Push delivery: the receiver's URL without a path, the audience that it expects, the account that signs tokens, the time limit for one message, and the numbers of attempts after which a message becomes a dead letter. Renditions wait for idle workers, and a message that finds none has used an attempt."
  type = object({
    service_url                      = string
    audience                         = string
    service_account_email            = string
    ack_deadline_seconds             = number
    max_delivery_attempts            = optional(number, 10)
    renditions_max_delivery_attempts = optional(number, 100)
  })
  nullable = false

  validation {
    condition     = can(regex("^https://[a-z0-9.-]+$", var.push.service_url))
    error_message = "push.service_url must be an https URL without a path."
  }

  validation {
    condition     = can(regex("^https://[a-z0-9.-]+$", var.push.audience))
    error_message = "push.audience must be a full URL without a path."
  }

  validation {
    condition     = endswith(var.push.service_account_email, ".gserviceaccount.com")
    error_message = "push.service_account_email must be the e-mail address of a service account."
  }

  validation {
    condition     = var.push.ack_deadline_seconds >= 10 && var.push.ack_deadline_seconds <= 600
    error_message = "push.ack_deadline_seconds must be between 10 and 600, the limits of Pub/Sub."
  }

  validation {
    condition     = alltrue([for each in [var.push.max_delivery_attempts, var.push.renditions_max_delivery_attempts] : each >= 5 && each <= 100])
    error_message = "push.max_delivery_attempts and push.renditions_max_delivery_attempts must be between 5 and 100, the limits of Pub/Sub."
  }
}

variable "tasks" {
  description = "Push delivery of events, nudges and dead letters to image-tasks: its URL without a path, and the audience that it expects. Signed by the account of `push`. Null as long as there is no image-tasks."
  type = object({
    service_url = string
    audience    = string
  })
  default = null

  validation {
    condition     = try(alltrue([for each in values(var.tasks) : can(regex("^https://[a-z0-9.-]+$", each))]), var.tasks == null)
    error_message = "tasks.service_url and tasks.audience must be https URLs without a path."
  }
}

variable "kms_key" {
  description = "KMS key that encrypts messages. Default: a key managed by Google."
  type        = string
  default     = null
}
