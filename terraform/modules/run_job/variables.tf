variable "project_id" {
  description = "Project of the job."
  type        = string
  nullable    = false

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{4,28}[a-z0-9]$", var.project_id))
    error_message = "project_id must be a project ID: 6 to 30 lower-case letters, digits and hyphens."
  }
}

variable "region" {
  description = "Region of the job."
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

variable "name" {
  description = "Name of the job and of its account."
  type        = string
  nullable    = false

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{4,28}[a-z0-9]$", var.name))
    error_message = "name must have 6 to 30 lower-case letters, digits and hyphens, the limits of a service account's name."
  }
}

variable "purpose" {
  description = "What the job does, in one sentence. It becomes the description of its account."
  type        = string
  nullable    = false
}

variable "container" {
  description = "The container: its first image (by digest; deploys change it afterwards), command, arguments, environment, CPU and memory."
  type = object({
    image       = string
    command     = list(string)
    arguments   = optional(list(string), [])
    environment = map(string)
    cpu         = optional(string, "1")
    memory      = optional(string, "512Mi")
  })
  nullable = false

  validation {
    condition     = can(regex("@sha256:[0-9a-f]{64}$", var.container.image))
    error_message = "container.image must be given by digest, because a tag can be moved."
  }

  validation {
    condition     = alltrue([for name in keys(var.container.environment) : can(regex("^[A-Z][A-Z0-9_]*$", name))])
    error_message = "container.environment must have upper-case names."
  }
}

variable "run" {
  description = "Time limit of a run, and number of automatic retries."
  type = object({
    timeout_seconds = number
    max_retries     = optional(number, 0)
  })
  nullable = false

  validation {
    condition     = var.run.timeout_seconds >= 1 && var.run.timeout_seconds <= 86400
    error_message = "run.timeout_seconds must be between 1 and 86400."
  }

  validation {
    condition     = var.run.max_retries >= 0 && var.run.max_retries <= 10
    error_message = "run.max_retries must be between 0 and 10."
  }
}

variable "network" {
  description = "Network and subnet for reaching private addresses, and network tags for firewall rules."
  type = object({
    network_id = string
    subnet_id  = string
    tags       = optional(list(string), [])
  })
  nullable = false
}

variable "deletion_protection" {
  description = "Whether the job is protected against deletion by a plan."
  type        = bool
  nullable    = false
  default     = true
}
