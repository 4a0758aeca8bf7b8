variable "project_id" {
  description = "Project that holds the repository."
  type        = string
  nullable    = false

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{4,28}[a-z0-9]$", var.project_id))
    error_message = "project_id must be a project's id: 6 to 30 lower-case letters, digits and hyphens."
  }
}

variable "region" {
  description = "Region of the repository."
  type        = string
  nullable    = false

  validation {
    condition     = can(regex("^[a-z]+-[a-z]+[0-9]+$", var.region))
    error_message = "region must be a region such as europe-west1, not a zone."
  }
}

variable "labels" {
  description = "Labels of everything that takes labels; they appear in the bill."
  type        = map(string)
  nullable    = false
  default     = {}
}

variable "repository_id" {
  description = "Name of the repository."
  type        = string
  nullable    = false
  default     = "images"

  validation {
    condition     = can(regex("^[a-z]([a-z0-9-]{0,61}[a-z0-9])?$", var.repository_id))
    error_message = "repository_id must have at most 63 lower-case letters, digits and hyphens."
  }
}

variable "cleanup" {
  description = "How many of the newest versions of each image are always kept, and after how many days the others go."
  type = object({
    kept_versions     = optional(number, 20)
    delete_after_days = optional(number, 90)
  })
  nullable = false
  default  = {}

  validation {
    condition     = var.cleanup.kept_versions >= 2
    error_message = "cleanup.kept_versions must be at least 2: the running version and the way back."
  }

  validation {
    condition     = var.cleanup.delete_after_days >= 1
    error_message = "cleanup.delete_after_days must be at least 1."
  }
}

variable "kms_key" {
  description = "Key that encrypts the images; Google's own without it."
  type        = string
  default     = null
}
