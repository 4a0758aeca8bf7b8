variable "project_id" {
  description = "Project that holds the load balancer."
  type        = string
  nullable    = false

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{4,28}[a-z0-9]$", var.project_id))
    error_message = "project_id must be a project's id: 6 to 30 lower-case letters, digits and hyphens."
  }
}

variable "region" {
  description = "Region of the service behind it."
  type        = string
  nullable    = false

  validation {
    condition     = can(regex("^[a-z]+-[a-z]+[0-9]+$", var.region))
    error_message = "region must be a region such as europe-west1, not a zone."
  }
}

variable "name" {
  description = "First part of the names of all its parts."
  type        = string
  nullable    = false
  default     = "image-manager"

  validation {
    condition     = can(regex("^[a-z]([a-z0-9-]{0,38}[a-z0-9])?$", var.name))
    error_message = "name must have at most 40 lower-case letters, digits and hyphens."
  }
}

variable "service_name" {
  description = "The Cloud Run service behind the load balancer."
  type        = string
  nullable    = false
}

variable "domains" {
  description = "Domains under which the API is reached; the first is the one that links name. Their certificates are issued as soon as the records that prove them are there."
  type        = list(string)
  nullable    = false

  validation {
    condition     = length(var.domains) > 0 && length(var.domains) <= 100 && alltrue([for domain in var.domains : can(regex("^([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\\.)+[a-z]{2,}$", domain))])
    error_message = "domains must hold 1 to 100 domains such as images.example.com, without a star."
  }
}

variable "candidate_tag" {
  description = "Tag of the revision that a rollout tries; it is reached under this name before the first domain."
  type        = string
  nullable    = false
  default     = "candidate"

  validation {
    condition     = can(regex("^[a-z]([a-z0-9-]{0,44}[a-z0-9])?$", var.candidate_tag))
    error_message = "candidate_tag must be a tag of Cloud Run: at most 46 lower-case letters, digits and hyphens."
  }
}

variable "throttle" {
  description = "How many requests a minute one address may make before it is answered with 429."
  type = object({
    requests_per_minute = optional(number, 1200)
  })
  nullable = false
  default  = {}

  validation {
    condition     = var.throttle.requests_per_minute >= 60 && var.throttle.requests_per_minute <= 1000000
    error_message = "throttle.requests_per_minute must be between 60 and 1000000."
  }
}

variable "cached_paths" {
  description = "Paths whose answers are public and named by their content, so that a cache may keep them; everything else is never cached."
  type        = list(string)
  nullable    = false
  default     = []

  validation {
    condition     = alltrue([for path in var.cached_paths : startswith(path, "/") && path != "/*" && !startswith(path, "/api/")])
    error_message = "Each of cached_paths must be a path outside of /api/, and not every path: the API's answers belong to their caller."
  }
}
