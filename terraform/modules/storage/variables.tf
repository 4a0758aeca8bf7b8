variable "project_id" {
  description = "Project that holds the buckets."
  type        = string
  nullable    = false

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{4,28}[a-z0-9]$", var.project_id))
    error_message = "project_id must be a project's id: 6 to 30 lower-case letters, digits and hyphens."
  }
}

variable "labels" {
  description = "Labels of everything that takes labels; they appear in the bill."
  type        = map(string)
  nullable    = false
  default     = {}
}

variable "location" {
  description = "Region or multi-region of the buckets."
  type        = string
  nullable    = false

  validation {
    condition     = can(regex("^([A-Z]+-[A-Z]+[0-9]+|EU|US|ASIA)$", var.location))
    error_message = "location must be in capitals, such as EUROPE-WEST1 or EU."
  }
}

variable "name_prefix" {
  description = "First part of the buckets' names, which are unique in all of Cloud Storage."
  type        = string
  nullable    = false

  validation {
    condition     = can(regex("^[a-z0-9][a-z0-9-]{1,45}$", var.name_prefix)) && !strcontains(var.name_prefix, "google")
    error_message = "name_prefix must have 2 to 46 lower-case letters, digits and hyphens, and not hold the word google."
  }
}

variable "retention" {
  description = "For how many days deleted originals can be brought back, their older generations, access logs and unfinished uploads are kept."
  type = object({
    soft_delete_days        = optional(number, 7)
    older_generations_days  = optional(number, 30)
    access_logs_days        = optional(number, 90)
    unfinished_uploads_days = optional(number, 7)
  })
  nullable = false
  default  = {}

  validation {
    condition     = var.retention.soft_delete_days >= 7 && var.retention.soft_delete_days <= 90
    error_message = "retention.soft_delete_days must be between 7 and 90, the limits of Cloud Storage."
  }

  validation {
    condition     = var.retention.older_generations_days >= 1 && var.retention.access_logs_days >= 1 && var.retention.unfinished_uploads_days >= 1
    error_message = "Every retention must be at least a day."
  }
}

variable "direct_upload_origins" {
  description = "Origins of the web pages that may upload straight to the bucket of the originals."
  type        = list(string)
  nullable    = false
  default     = []

  validation {
    condition     = alltrue([for origin in var.direct_upload_origins : can(regex("^https?://[a-z0-9.-]+(:[0-9]+)?$", origin))])
    error_message = "Each of direct_upload_origins must be an origin such as https://photos.example.com: no path, no star."
  }
}

variable "force_destroy" {
  description = "Whether a destroy removes the buckets with all that is in them."
  type        = bool
  nullable    = false
  default     = false
}

variable "kms_key" {
  description = "Key that encrypts the objects; Google's own without it."
  type        = string
  default     = null
}
