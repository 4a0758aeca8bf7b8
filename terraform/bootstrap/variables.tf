variable "project_id" {
  description = "Project of the system."
  type        = string
  nullable    = false

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{4,28}[a-z0-9]$", var.project_id))
    error_message = "project_id must be a project ID: 6 to 30 lower-case letters, digits and hyphens."
  }
}

variable "region" {
  description = "Region of the state bucket and the image repository."
  type        = string
  nullable    = false

  validation {
    condition     = can(regex("^[a-z]+-[a-z]+[0-9]+$", var.region))
    error_message = "region must be a region such as europe-west1, not a zone."
  }
}

variable "environment" {
  description = "Environment of the project. It names the GitHub environments that may apply and deploy."
  type        = string
  nullable    = false

  validation {
    condition     = contains(["dev", "small", "prod"], var.environment)
    error_message = "environment must be dev, small or prod."
  }
}

variable "repository" {
  description = "GitHub repository whose workflows are admitted, and its owner, by their GitHub IDs."
  type = object({
    repository_id       = string
    repository_owner_id = string
  })
  nullable = false

  validation {
    condition     = can(regex("^[0-9]+$", var.repository.repository_id)) && can(regex("^[0-9]+$", var.repository.repository_owner_id))
    error_message = "repository.repository_id and repository.repository_owner_id must be numeric GitHub IDs, not names."
  }
}

variable "state_bucket_name" {
  description = "Bucket for the state of bootstrap and stack."
  type        = string
  nullable    = false

  validation {
    condition     = can(regex("^[a-z0-9][a-z0-9-]{1,61}[a-z0-9]$", var.state_bucket_name))
    error_message = "state_bucket_name must have 3 to 63 lower-case letters, digits and hyphens."
  }
}

variable "billing_account" {
  description = "Billing account whose budget the workflows manage. Null: they get no rights on it. scripts/infra/bootstrap.py takes it from the environment's observability.budget."
  type        = string
  default     = null

  validation {
    condition     = var.billing_account == null || can(regex("^[0-9A-F]{6}-[0-9A-F]{6}-[0-9A-F]{6}$", var.billing_account))
    error_message = "billing_account must look like 012345-6789AB-CDEF01."
  }
}
