variable "project_id" {
  description = "Project of the buckets."
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

variable "location" {
  description = "Region or multi-region of the buckets."
  type        = string
  nullable    = false

  validation {
    condition     = can(regex("^([A-Z]+-[A-Z]+[0-9]+|EU|US|ASIA)$", var.location))
    error_message = "location must be in upper case, such as EUROPE-WEST1 or EU."
  }
}

variable "name_prefix" {
  description = "Prefix of the bucket names, which must be unique in all of Cloud Storage."
  type        = string
  nullable    = false

  validation {
    condition     = can(regex("^[a-z0-9][a-z0-9-]{1,45}$", var.name_prefix)) && !strcontains(var.name_prefix, "google")
    error_message = "name_prefix must have 2 to 46 lower-case letters, digits and hyphens, and must not contain the word google."
  }
}

variable "retention" {
  description = "Days for which deleted originals can be restored, and for which older generations, access logs and unfinished uploads are kept."
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
    error_message = "Each retention must be at least one day."
  }
}

variable "direct_upload_origins" {
  description = "Origins of web pages that may upload directly to the bucket of originals."
  type        = list(string)
  nullable    = false
  default     = []

  validation {
    condition     = alltrue([for origin in var.direct_upload_origins : can(regex("^https?://[a-z0-9.-]+(:[0-9]+)?$", origin))])
    error_message = "Each of direct_upload_origins must be an origin such as https://photos.example.com, without path or wildcard."
  }
}

variable "force_destroy" {
  description = "Whether destroying removes the buckets with all their contents."
  type        = bool
  nullable    = false
  default     = false
}

variable "kms_key" {
  description = "KMS key that encrypts the objects. Default: a key managed by Google."
  type        = string
  default     = null
}
