variable "project_id" {
  description = "Project of the secrets."
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
  description = "The only region where secrets are stored."
  type        = string
  nullable    = false

  validation {
    condition     = can(regex("^[a-z]+-[a-z]+[0-9]+$", var.region))
    error_message = "region must be a region such as europe-west1, not a zone."
  }
}

variable "secrets" {
  description = "Purpose of each secret, by its name. Terraform never knows the values; they are added as versions elsewhere."
  type        = map(string)
  nullable    = false

  validation {
    condition     = length(var.secrets) > 0 && alltrue([for name, purpose in var.secrets : can(regex("^[a-z][a-z0-9-]{0,253}[a-z0-9]$", name)) && length(purpose) > 0])
    error_message = "Each of secrets must have a name of lower-case letters, digits and hyphens, and a purpose."
  }
}

variable "deletion_protection" {
  description = "Whether the secrets are protected against deletion by a plan."
  type        = bool
  nullable    = false
  default     = true
}

variable "kms_key" {
  description = "KMS key that encrypts the secrets. Default: a key managed by Google."
  type        = string
  default     = null
}
