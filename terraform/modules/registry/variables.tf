variable "project_id" {
  description = "Project of the repository."
  type        = string
  nullable    = false

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{4,28}[a-z0-9]$", var.project_id))
    error_message = "project_id must be a project ID: 6 to 30 lower-case letters, digits and hyphens."
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
  description = "Labels of all resources that support labels. They appear on the bill."
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
  description = "Number of newest versions of each image that are always kept, and days after which others are deleted."
  type = object({
    kept_versions     = optional(number, 20)
    delete_after_days = optional(number, 90)
  })
  nullable = false
  default  = {}

  validation {
    condition     = var.cleanup.kept_versions >= 2
    error_message = "cleanup.kept_versions must be at least 2: the running version and the one to roll back to."
  }

  validation {
    condition     = var.cleanup.delete_after_days >= 1
    error_message = "cleanup.delete_after_days must be at least 1."
  }
}

variable "kms_key" {
  description = "KMS key that encrypts the images. Default: a key managed by Google."
  type        = string
  default     = null
}
