variable "project_id" {
  description = "Project of the instance."
  type        = string
  nullable    = false

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{4,28}[a-z0-9]$", var.project_id))
    error_message = "project_id must be a project ID: 6 to 30 lower-case letters, digits and hyphens."
  }
}

variable "region" {
  description = "Region of the instance."
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

variable "private_network_id" {
  description = "Network with private services access. The instance's only address is in it."
  type        = string
  nullable    = false
}

variable "instance" {
  description = "The instance: a name that was never used before (a deleted one stays reserved for a week), machine, disk and maximum number of connections."
  type = object({
    name                = string
    tier                = string
    availability_type   = optional(string, "ZONAL")
    disk_size_gb        = optional(number, 10)
    disk_size_limit_gb  = optional(number, 100)
    max_connections     = optional(number, 100)
    deletion_protection = optional(bool, true)
  })
  nullable = false

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{0,82}-[a-z0-9]{4,8}$", var.instance.name)) && can(regex("[0-9]", reverse(split("-", var.instance.name))[0]))
    error_message = "instance.name must end in a hyphen and a suffix of 4 to 8 letters and digits (a digit among them), so that a new instance never gets the name of a deleted one."
  }

  validation {
    condition     = can(regex("^db-(f1-micro|g1-small|custom-[0-9]+-[0-9]+)$", var.instance.tier))
    error_message = "instance.tier must be a tier of the ENTERPRISE edition: db-f1-micro, db-g1-small or db-custom-CPUS-MEGABYTES."
  }

  validation {
    condition     = contains(["ZONAL", "REGIONAL"], var.instance.availability_type)
    error_message = "instance.availability_type must be ZONAL or REGIONAL."
  }

  validation {
    condition     = var.instance.disk_size_gb >= 10 && var.instance.disk_size_limit_gb >= var.instance.disk_size_gb
    error_message = "instance.disk_size_gb must be at least 10, and instance.disk_size_limit_gb at least as large."
  }

  validation {
    condition     = var.instance.max_connections >= 14 && var.instance.max_connections <= 262143
    error_message = "instance.max_connections must be between 14 and 262143."
  }
}

variable "backups" {
  description = "Start time of the daily backup (UTC), and days for which the final backup is kept after the instance is deleted."
  type = object({
    start_time           = optional(string, "02:00")
    final_retention_days = optional(number, 30)
  })
  nullable = false
  default  = {}

  validation {
    condition     = can(regex("^([01][0-9]|2[0-3]):[0-5][0-9]$", var.backups.start_time))
    error_message = "backups.start_time must be a time such as 02:00."
  }

  validation {
    condition     = var.backups.final_retention_days >= 1 && var.backups.final_retention_days <= 365
    error_message = "backups.final_retention_days must be between 1 and 365."
  }
}

variable "users" {
  description = "Service accounts that may log in, by their role in the system, with the database roles that Cloud SQL grants them. Migrations grant all other rights."
  type = map(object({
    service_account_email = string
    database_roles        = optional(list(string))
  }))
  nullable = false

  validation {
    condition     = alltrue([for user in var.users : endswith(user.service_account_email, ".gserviceaccount.com")])
    error_message = "Each of users must be the e-mail address of a service account."
  }
}

variable "kms_key" {
  description = "KMS key that encrypts the instance. Default: a key managed by Google."
  type        = string
  default     = null
}
