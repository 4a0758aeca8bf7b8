variable "project_id" {
  description = "Project that holds the secrets."
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

variable "region" {
  description = "The only region in which secrets are kept."
  type        = string
  nullable    = false

  validation {
    condition     = can(regex("^[a-z]+-[a-z]+[0-9]+$", var.region))
    error_message = "region must be a region such as europe-west1, not a zone."
  }
}

variable "secrets" {
  description = "What each secret is for, by its name. Their values are never known here: whoever makes one adds it as a version."
  type        = map(string)
  nullable    = false

  validation {
    condition     = length(var.secrets) > 0 && alltrue([for name, purpose in var.secrets : can(regex("^[a-z][a-z0-9-]{0,253}[a-z0-9]$", name)) && length(purpose) > 0])
    error_message = "Each of secrets must have a name of lower-case letters, digits and hyphens, and a purpose."
  }
}

variable "deletion_protection" {
  description = "Whether a plan may not delete the secrets."
  type        = bool
  nullable    = false
  default     = true
}

variable "kms_key" {
  description = "Key that encrypts the secrets; Google's own without it."
  type        = string
  default     = null
}
